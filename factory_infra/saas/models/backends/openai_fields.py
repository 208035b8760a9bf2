"""Optional request fields of OpenAI's shapes that a server of that kind is trusted to honour."""

CHAT_FIELDS = frozenset(
    {
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "verbosity",
    }
)
EMBEDDING_FIELDS = frozenset({"dimensions"})
AUDIO_FIELDS = frozenset({"prompt", "temperature", "instructions", "speed", "timestamp_granularities", "include", "chunking_strategy"})
