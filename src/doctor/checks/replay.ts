import { DealerSocket } from '../../zmtp/dealer.ts';
import { showEndpoint, type Endpoint } from '../../zmtp/endpoint.ts';
import type { Check } from '../check.ts';
import { fail, ok, quote, skipped, warn } from '../finding.ts';
import type { Patient } from '../patient.ts';

const SEQ_BYTES = 8;
/** In the place of a number: the end of what is replayed. */
const END = 0xffff_ffff_ffff_ffffn;

/** Asks for the message that named the probe's blocks once more: after a loss the router asks in the same way. */
export const replay: Check = {
  name: 'replay',
  about: 'Messages that were missed can be asked for.',
  needs: ['events'],
  async run(patient, signal) {
    const { heard } = patient.chart;
    if (!heard) return skipped('no event of the probe was heard');
    const endpoint = heard.endpoint.replay;
    if (!endpoint)
      return warn(
        'the publisher has no replay endpoint',
        'Add "replay_endpoint": "tcp://*:5558" to --kv-events-config: without it the router forgets a worker whenever a message is lost, and begins with nothing.',
      );
    const came = await ask(patient, endpoint, heard.seq, signal);
    if (typeof came === 'string')
      return fail(
        `${showEndpoint(endpoint)} does not replay: ${quote(came)}`,
        'See that the port is the replay_endpoint of --kv-events-config and that it may be reached from here.',
      );
    if (came.includes(heard.seq))
      return ok(`${showEndpoint(endpoint)} gave message ${String(heard.seq)} once more`);
    return fail(
      `${showEndpoint(endpoint)} replays other messages than the one that was asked for`,
      'See whether another server replays there.',
    );
  },
};

/** The numbers of what was replayed; a text says what went wrong. */
function ask(
  { clock }: Patient,
  endpoint: Endpoint,
  from: bigint,
  signal: AbortSignal,
): Promise<readonly bigint[] | string> {
  return new Promise((resolve) => {
    const seqs: bigint[] = [];
    const settle = (came: readonly bigint[] | string): void => {
      signal.removeEventListener('abort', onAbort);
      dealer.close();
      resolve(came);
    };
    const onAbort = (): void => settle('no end came');
    const start = Buffer.alloc(SEQ_BYTES);
    start.writeBigUInt64BE(from);
    const dealer = new DealerSocket(
      endpoint,
      [Buffer.alloc(0), start],
      { clock },
      {
        onMessage: (frames) => {
          // The payload is last, in front of it the number; what stands before that has changed.
          const seq = frames.at(-2);
          if (seq?.length !== SEQ_BYTES) settle(`a message of ${String(frames.length)} frames`);
          else if (seq.readBigUInt64BE() === END) settle(seqs);
          else seqs.push(seq.readBigUInt64BE());
        },
        onEnd: ({ cause, message }) => settle(`${cause}, ${message}`),
      },
    );
    signal.addEventListener('abort', onAbort);
  });
}
