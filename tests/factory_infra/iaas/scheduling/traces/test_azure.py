"""The Azure trace of requests."""

from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.traces.azure import read

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "conv.csv"
    path.write_text("\n".join([HEAD, *lines]))
    return path


class TestAzure:
    def test_requests_count_from_the_first(self, tmp_path: Path) -> None:
        found = read(written(tmp_path, "2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50.9951690,396,109"))
        assert found.seconds.tolist() == pytest.approx([0, 4.314579], abs=1e-5)
        assert (found.tokens_in.sum(), found.tokens_out.sum()) == (770, 153)

    def test_replicas_follow_what_is_generated(self, tmp_path: Path) -> None:
        lines = [f"2023-11-16 18:{minute:02d}:00,1,{tokens}" for minute, tokens in ((0, 600), (1, 0), (2, 1801))]
        assert read(written(tmp_path, *lines)).replicas(60, 10).tolist() == [1, 1, 4]

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (["2023-11-16 18:15:46,374,44", "2023-11-16 18:15:45,1,1"], "conv.csv, line 3: its clock goes back by 1 s"),
            (["2023-11-16 18:15:46,-3,44"], "line 2: 'ContextTokens' is -3, below 0"),
            (["now,3,44"], "'TIMESTAMP' is 'now', no time"),
            (["2023-11-16 18:15:46,nan,44"], "not finite"),
        ],
    )
    def test_what_cannot_be_is_refused(self, tmp_path: Path, lines: list[str], words: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            read(written(tmp_path, *lines))
        assert words in caught.value.reason
        assert caught.value.error_code == "trace_invalid"

    def test_no_text_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "conv.csv"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(InvalidInput, match="no text in UTF-8"):
            read(path)
