import type { HeldBody } from '../../http/body.ts';
import { decodeBody, type Coding } from '../../http/content-coding.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Runtime } from '../runtime.ts';

/** A body as it is read, and what of it goes on as it came. */
interface Decoded extends HeldBody {
  readonly encoded: Buffer | undefined;
}

/**
 * What a compressed body says. Workers get that, for vLLM's server does not decode, unless they are to get what came.
 * Throws what `decodeBody` does.
 */
export async function decodeRequest(
  rt: Runtime,
  arrival: Arrival,
  held: HeldBody,
  codings: readonly Coding[],
): Promise<Decoded> {
  const { forwardEncodedBodies, listen } = rt.settings;
  const cut = new AbortController();
  arrival.client.onGone(() => {
    cut.abort();
  });
  try {
    const limits = { maxBytes: listen.maxPayloadSize, signal: cut.signal };
    const { bytes, release } = await decodeBody(held.bytes, codings, limits, rt.bodyBytes);
    arrival.releases.push(release);
    arrival.bodyDecoded = true;
    // Without the bytes: what gives them back outlives them.
    const releaseEncoded = held.release;
    if (!forwardEncodedBodies) releaseEncoded();
    const releaseBoth = (): void => {
      releaseEncoded();
      release();
    };
    return { bytes, release: releaseBoth, encoded: forwardEncodedBodies ? held.bytes : undefined };
  } finally {
    arrival.client.onGone(undefined);
  }
}
