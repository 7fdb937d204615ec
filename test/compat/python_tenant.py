"""What a tenant meets with the openai package for Python, as one JSON object. Argument: the router's base URL."""

import json
import sys

import openai

MODEL = "sim-model"
MESSAGES = [{"role": "user", "content": "Tell me about routers."}]


def client(key):
    return openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key=key, max_retries=0)


def chat(key):
    return client(key).chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=8)


def error(key):
    try:
        chat(key)
    except openai.APIStatusError as caught:
        return [type(caught).__name__, caught.status_code, caught.code, caught.response.headers.get("retry-after")]


print(
    json.dumps(
        {
            "unknown": error("sk-nobody"),
            "disabled": error("sk-off"),
            "narrow": error("sk-narrow"),
            "models": [model.id for model in client("sk-narrow").models.list()],
            "remaining": [chat("sk-blue").headers["x-ratelimit-remaining-requests"] for _ in range(2)],
            "fast": error("sk-blue"),
        }
    )
)
