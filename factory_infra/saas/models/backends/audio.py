"""How long a sound is and what its file is called, as far as its bytes tell."""

import io
import wave

SUFFIXES = {
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/wave": ".wav",
    "audio/mpeg": ".mp3",
    "audio/mp3": ".mp3",
    "audio/mp4": ".m4a",
    "audio/m4a": ".m4a",
    "audio/x-m4a": ".m4a",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/webm": ".webm",
}
BYTES_A_SECOND_MIN = 4_000
"""32 kbit/s: speech is seldom packed tighter, so the length is guessed rather too long than too short."""


def file_type_of(media_type: str) -> tuple[str, str]:
    """The media type and the suffix for a sound; WAV where the type says nothing that is known."""
    plain = media_type.partition(";")[0].strip().lower()
    return (plain, SUFFIXES[plain]) if plain in SUFFIXES else ("audio/wav", ".wav")


def seconds_of_audio(data: bytes) -> float:
    """The length of a sound: exact for WAV, else the longest that its size allows at the rate of packed speech."""
    try:
        with wave.open(io.BytesIO(data), "rb") as sound:
            frame = sound.getnchannels() * sound.getsampwidth()
            # The header may promise more than there is: the bytes are what was sent.
            return min(sound.getnframes(), len(data) // max(frame, 1)) / max(sound.getframerate(), 1)
    except (wave.Error, EOFError, ValueError):
        return len(data) / BYTES_A_SECOND_MIN
