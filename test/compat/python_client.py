"""
What people do with the openai package for Python, as one JSON object on stdout. Arguments: the base URLs of a router, and of
one whose worker breaks its streams.
"""

import json
import sys

import openai

MODEL = "sim-model"
MESSAGES = [{"role": "user", "content": "Tell me about routers."}]

client, breaking = (
    openai.OpenAI(base_url=url + "/v1", api_key="sk-anything", max_retries=0) for url in sys.argv[1:]
)


def chat():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=12)
    completion = raw.parse()
    return {
        "text": completion.choices[0].message.content,
        "completion_tokens": completion.usage.completion_tokens,
        "request_id": raw.headers["x-request-id"],
        "worker": raw.headers["x-vllm-router-worker"],
    }


def stream():
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=12, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return {"text": text, "completion_tokens": chunks[-1].usage.completion_tokens}


def embeddings():
    # As base64, which this client asks for by itself.
    packed = client.embeddings.create(model=MODEL, input=["one text"], dimensions=8).data[0].embedding
    floats = client.embeddings.create(model=MODEL, input=["one text"], dimensions=8, encoding_format="float")
    return {"packed": packed, "floats": floats.data[0].embedding}


def models():
    return [model.id for model in client.models.list()]


def error(model, messages=MESSAGES, of=client, **more):
    try:
        result = of.chat.completions.create(model=model, messages=messages, **more)
        for _ in result:
            pass
    except openai.APIError as caught:
        return {
            "name": type(caught).__name__,
            "status": getattr(caught, "status_code", None),
            "code": caught.code,
            "message": str(caught),
        }
    except Exception as caught:
        return {"name": type(caught).__name__, "message": str(caught)}
    return {"name": None}


print(
    json.dumps(
        {
            "chat": chat(),
            "stream": stream(),
            "embeddings": embeddings(),
            "models": models(),
            "bad_request": error(MODEL, messages=[]),
            "not_found": error("no-such-model"),
            "server_error": error(MODEL, extra_headers={"x-sim-fault": "reset"}),
            "broken_stream": error(MODEL, of=breaking, stream=True, max_tokens=200),
        }
    )
)
