"""Makes the tokenizers of this folder and golden.json.gz: the token ids that vLLM's own functions give for chats and prompts.

python make_golden.py, with a Python that has vllm (0.32). Deterministic.
"""

import gzip
import json
import os
import random
from types import SimpleNamespace

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from vllm.renderers.chat_utils import parse_chat_messages
from vllm.renderers.hf import resolve_chat_template_content_format, safe_apply_chat_template
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL = ['<s>', '</s>', '<unk>', '<|im_start|>', '<|im_end|>']
TEXTS = [
    'The router reads a prompt, and asks who has most of it in its cache already.',
    'Größe, Ångström, naïve café; 你好，世界。 こんにちは 한국어 עברית العربية हिन्दी ไทย',
    '👩‍👩‍👧‍👦 🏳️‍🌈 ½ ﬁ   many   blanks\t\tand tabs\u00a0\u200b\u2028',
    'def f(x):\n    return {"a": [1, 22, 333], \'b\': x**2}  # 3.14e-10\n\n\n',
    'A\u030angstro\u0308m is decomposed; \r\n ends a line.',
    '<|im_end|> in a text, <|im_start|>system too, and <s></s> <unk><|im_',
    ' leading and trailing ',
    'ſtraße … “quotes” – dashes',
    '',
]


def byte_level(folder, post, **tokens):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    tok.post_processor = post
    return save(tok, folder, **tokens)


def sentencepiece_like(folder, **tokens):
    tok = Tokenizer(models.BPE(unk_token='<unk>', byte_fallback=True, fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
    tok.decoder = decoders.Sequence([decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f'<0x{b:02X}>' for b in range(256)]
    tok.train_from_iterator(
        TEXTS[:1] * 3, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL + bytes_, show_progress=False))
    raw = json.loads(tok.to_str())
    raw['added_tokens'] = [t for t in raw['added_tokens'] if t['content'] in SPECIAL]
    raw['post_processor'] = json.loads(
        processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 0)]).__getstate__())
    return save(Tokenizer.from_str(json.dumps(raw)), folder, **tokens)


def save(tok, folder, **tokens):
    path = os.path.join(HERE, folder)
    template = open(os.path.join(path, 'chat_template.jinja')).read()
    raw = json.loads(tok.to_str())
    with open(os.path.join(path, 'tokenizer.json'), 'w') as out:
        json.dump(raw, out, ensure_ascii=False, separators=(',', ':'))
        out.write('\n')
    with open(os.path.join(path, 'tokenizer_config.json'), 'w') as out:
        json.dump({'tokenizer_class': 'PreTrainedTokenizerFast', **tokens}, out, indent=2)
        out.write('\n')
    return PreTrainedTokenizerFast(tokenizer_object=tok, chat_template=template, name_or_path=folder, **tokens)


CONFIG = SimpleNamespace(
    tokenizer_revision=None, code_revision=None, revision=None, tokenizer='x', model='y', trust_remote_code=False,
    hf_config=SimpleNamespace(model_type='llama'), multimodal_config=None, enable_prompt_embeds=False,
    hf_text_config=None, dtype=None, allowed_local_media_path='', allowed_media_domains=None,
)


def of_chat(tok, fields):
    request = ChatCompletionRequest(model='m', **fields)
    tools = None if request.tools is None else [tool.model_dump() for tool in request.tools]
    params = request.build_chat_params(None, 'auto').with_defaults(dict(tools=tools, tokenize=False))
    kwargs = params.get_apply_chat_template_kwargs()
    content_format = resolve_chat_template_content_format(None, tools, 'auto', tok, model_config=CONFIG)
    conversation, _, _ = parse_chat_messages(request.messages, CONFIG, content_format)
    text = safe_apply_chat_template(CONFIG, tok, conversation, **kwargs)
    return tok.encode(text, add_special_tokens=request.add_special_tokens), content_format


def chats(rng):
    tool = {'type': 'function', 'function': {'name': 'weather', 'parameters': {
        'type': 'object', 'properties': {'city': {'type': 'string', 'enum': ['Köln']}}, 'required': ['city']}}}
    bare = {'type': 'function', 'function': {'name': 'now', 'description': 'The time <now>', 'strict': True}}
    text = lambda: ''.join(rng.choice(TEXTS) for _ in range(rng.randint(1, 3)))
    part = lambda: {'type': 'text', 'text': text()}
    for _ in range(60):
        messages = []
        if rng.random() < 0.4:
            messages.append({'role': rng.choice(['system', 'system', 'developer']), 'content': text()})
        for turn in range(rng.randint(1, 3)):
            content = text() if rng.random() < 0.7 else [part() for _ in range(rng.randint(1, 3))]
            messages.append({'role': 'user', 'content': content})
            if rng.random() < 0.3:
                messages.append({'role': 'assistant', 'content': None, 'tool_calls': [
                    {'id': 'c1', 'type': 'function',
                     'function': {'name': 'weather', 'arguments': rng.choice(['{"city": "Köln", "n": 2}', '', '[1]', '{'])}}]})
                messages.append({'role': 'tool', 'tool_call_id': 'c1', 'content': rng.choice([text(), [part(), part()]])})
            answer = {'role': 'assistant', 'content': text()}
            if rng.random() < 0.3:
                answer['reasoning'] = text()
            messages.append(answer)
        fields = {'messages': messages}
        kind = rng.random()
        if kind < 0.2:
            fields |= {'add_generation_prompt': False, 'continue_final_message': True}
        elif kind < 0.7:
            messages.pop()
        if rng.random() < 0.3:
            fields['tools'] = [tool, bare]
        if rng.random() < 0.2:
            fields['documents'] = [{'title': 't', 'text': text()}]
        if rng.random() < 0.3:
            fields['chat_template_kwargs'] = {'enable_thinking': rng.random() < 0.5}
        elif rng.random() < 0.2:
            fields['reasoning_effort'] = rng.choice(['none', 'high'])
        yield fields


golden = {}
post = processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 0)])
for name, tok in {
    'chatml': byte_level('chatml', processors.ByteLevel(trim_offsets=False), eos_token='<|im_end|>'),
    'parts': byte_level('parts', processors.Sequence([processors.ByteLevel(trim_offsets=False), post]),
                        bos_token='<s>', eos_token='<|im_end|>'),
    'inst': sentencepiece_like('inst', bos_token='<s>', eos_token='</s>', unk_token='<unk>'),
}.items():
    rng = random.Random(7)
    cases = []
    for fields in chats(rng):
        try:
            ids, content_format = of_chat(tok, json.loads(json.dumps(fields)))
        except Exception as error:
            ids = None
        cases.append({'request': fields, 'ids': ids})
    prompts = [{'request': {'prompt': text, **more}, 'ids': tok.encode(text, add_special_tokens=around)}
               for text in TEXTS for around, more in [(True, {}), (False, {'add_special_tokens': False})] if text]
    golden[name] = {'format': content_format, 'chats': cases, 'prompts': prompts}

with gzip.GzipFile(os.path.join(HERE, 'golden.json.gz'), 'wb', mtime=0) as out:
    out.write(json.dumps(golden, ensure_ascii=False, separators=(',', ':')).encode())
