"""Embeddings from a server that speaks OpenAI's `/v1/embeddings`: here the model server."""

import httpx
from pydantic import BaseModel, ValidationError

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable

TEXTS_PER_REQUEST = 64
CHARACTERS_MAX = 20_000
REMEDY = "See `lineshaft status`, and `lineshaft logs models`."


class _Item(BaseModel):
    index: int
    embedding: list[float]


class _Response(BaseModel):
    data: list[_Item]


class HttpEmbeddings:
    """Asks the server in bounded batches, one after another. Connects at the first use."""

    def __init__(self, url: str, key: str, *, timeout_seconds: float = 60.0) -> None:
        self._url = url
        self._key = key
        self._timeout = httpx.Timeout(timeout_seconds, connect=5.0)
        self._client: httpx.AsyncClient | None = None

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text; see the interface. A text beyond 20,000 characters is cut: the model reads far less.

        Raises Unavailable, EffectFailed `embeddings_key_refused`, InvalidInput.
        """
        vectors: list[list[float]] = []
        for start in range(0, len(texts), TEXTS_PER_REQUEST):
            vectors += await self._ask([text[:CHARACTERS_MAX] for text in texts[start : start + TEXTS_PER_REQUEST]])
        return vectors

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, texts: list[str]) -> list[list[float]]:
        if self._client is None:
            headers = {"Authorization": f"Bearer {self._key}"}
            self._client = httpx.AsyncClient(base_url=self._url, headers=headers, timeout=self._timeout, trust_env=False)
        try:
            response = await self._client.post("/v1/embeddings", json={"input": texts})
        except httpx.HTTPError as error:
            reason = f"The embeddings at {self._url} do not answer."
            raise Unavailable(reason, remedy=REMEDY, code="embeddings_unavailable") from error
        if response.status_code != httpx.codes.OK:
            self._refuse(response)
        try:
            items = _Response.model_validate_json(response.content).data
        except ValidationError as error:
            raise EffectFailed(f"{self._url} does not speak the embeddings shape.", remedy=REMEDY, code="embeddings_protocol") from error
        return [item.embedding for item in sorted(items, key=lambda item: item.index)]

    def _refuse(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise EffectFailed(f"{self._url} refuses the key.", remedy="Check LINESHAFT_MODEL_SERVER_KEY.", code="embeddings_key_refused")
        if response.is_server_error or status == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(f"The embeddings at {self._url} answer HTTP {status}.", remedy=REMEDY, code="embeddings_unavailable")
        raise InvalidInput(f"{self._url} refuses these texts: HTTP {status}.", remedy="Shorten them.", code="embeddings_refused")
