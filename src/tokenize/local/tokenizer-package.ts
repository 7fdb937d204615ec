import * as tokenizers from '@huggingface/tokenizers';

/** What is used of a tokenizer of the package. */
export interface PackagedTokenizer {
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly number[] };
}

// The package's own types name their files without an ending, so that Node's resolution does not find them.
const { Tokenizer } = tokenizers as unknown as {
  readonly Tokenizer: new (tokenizer: object, config: object) => PackagedTokenizer;
};

/** @param tokenizer, config What stands in `tokenizer.json` and `tokenizer_config.json`. Throws for what is no tokenizer. */
export function openTokenizer(tokenizer: object, config: object): PackagedTokenizer {
  return new Tokenizer(tokenizer, config);
}
