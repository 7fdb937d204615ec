import { WorkerTokenizers } from '../../tokenize/worker-tokenizers.ts';
import { prove, type Proof } from '../../tokenize/local/prove.ts';
import { tokenizerPathFor } from '../../tokenize/local/tokenizer-path.ts';
import type { Check } from '../check.ts';
import { fail, ok, quote, skipped, warn, type Finding } from '../finding.ts';
import type { Patient } from '../patient.ts';

/** Whether the tokenizer that is configured for the router says what the worker's own says, in every way that the router would use it. */
export const tokenizer: Check = {
  name: 'tokenizer',
  about: "The router's own tokenizer and chat template say what the worker's say.",
  needs: ['tokens'],
  async run(patient, signal) {
    const { chart, expected, spec } = patient;
    const path = tokenizerPathFor(spec.traits.tokenizerPath, expected.tokenizers, chart.model ?? '');
    if (path === undefined)
      return skipped('none is configured: the worker is asked for the tokens of prompts');
    const text = patient.text();
    const loaded = await text.load(path);
    if (loaded.kind === 'unreadable' && expected.isElsewhere)
      return skipped(
        `${path} of the router cannot be read here: local_tokens says what the router has found`,
      );
    if (loaded.kind === 'unreadable')
      return fail(
        `${path} cannot be used: ${quote(loaded.reason)}`,
        'Give the directory of the model that the worker serves: tokenizer.json, tokenizer_config.json and its chat template.',
      );
    const theirs = tokenizersOf(patient, signal);
    const model = chart.model ?? '';
    const proof = await prove({
      specials: loaded.specials,
      ofWorker: ({ route, members }) =>
        theirs.tokensBy(patient, { model, route, members: jsonOf(members), renderOnly: false }),
      ofOurs: ({ route, members, feature }, format) =>
        text.run({
          ...{ identity: loaded.identity, route, format },
          members: jsonOf(members),
          features: feature ? [feature] : [],
        }),
    });
    return findingOf(proof, path);
  },
};

function tokenizersOf({ clock }: Patient, signal: AbortSignal): WorkerTokenizers<Patient> {
  return new WorkerTokenizers({
    clock,
    ask: async (patient, { path, body }) => {
      const answer = await patient.postBytes(path, body, signal);
      return answer.kind === 'response' ? answer : { kind: 'failed' };
    },
  });
}

function findingOf(proof: Proof, path: string): Finding {
  switch (proof.state) {
    case 'proven':
      return proof.reason === undefined
        ? ok(`${path} says what the worker says`)
        : warn(
            `${path} says what the worker says, but is ${quote(proof.reason)}`,
            'For those the worker is asked. Give the chat template that it was started with, if that is another one.',
          );
    case 'differs':
      return fail(
        `${path} differs from the worker's: ${quote(proof.reason)}`,
        'The router does not use it, and asks the worker. Give the directory of the model that the worker serves, with the chat template that it was started with.',
      );
    case 'unproved':
      return warn(
        `${path} could not be compared: ${quote(proof.reason)}`,
        'The router does not use it until it can be.',
      );
  }
}

function jsonOf(members: Readonly<Record<string, unknown>>): Uint8Array {
  return Buffer.from(JSON.stringify(members));
}
