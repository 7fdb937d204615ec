"""Writes a chat model of two layers with random weights: python tiny_model.py DIRECTORY

What it says is noise. Scheduler, prefix cache, KV events, tokenizer, chat template and every route of the server that runs it
are the real ones. Nothing is downloaded: the tokenizer (byte-level BPE) is trained on the sources of Python's own library.
The same weights each time.
"""
import pathlib
import sys
import sysconfig

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 8192
CONTEXT = 8192
PAD, START, END = '<|pad|>', '<|im_start|>', '<|im_end|>'

TEMPLATE = (pathlib.Path(__file__).parent / 'chat_template.jinja').read_text()


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    sources = sorted(str(path) for path in pathlib.Path(sysconfig.get_paths()['stdlib']).glob('*.py'))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train(sources, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        chat_template=TEMPLATE,
    )


def make_model(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
        # Large enough that the most likely token is another one each time.
        initializer_range=0.2,
        dtype='bfloat16',
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def main(directory: str) -> None:
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(directory)
    make_model(len(tokenizer)).save_pretrained(directory)
    GenerationConfig(bos_token_id=0, eos_token_id=2, pad_token_id=0).save_pretrained(directory)


main(sys.argv[1])
