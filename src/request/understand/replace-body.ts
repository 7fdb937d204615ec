import { noRoom } from '../../http/body.ts';
import type { CallSource, Call } from './read-call.ts';
import type { Runtime } from '../runtime.ts';

/** Another body in place of the one that came, accounted like it. Throws `inflight_bytes_exceeded`. */
export function replaceBody(
  rt: Runtime,
  source: CallSource,
  call: Call,
  bytes: Buffer,
): Pick<Call, 'body' | 'encoded' | 'releaseBody'> {
  call.releaseBody();
  const held = rt.bodyBytes.hold(bytes);
  if (!held) throw noRoom();
  source.releases.push(held.release);
  call.ask.nowIn(held.bytes);
  return { body: held.bytes, encoded: undefined, releaseBody: held.release };
}
