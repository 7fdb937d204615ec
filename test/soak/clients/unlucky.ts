/** Clients whose workers misbehave: the simulated worker does what this header says, whichever of them is asked. */
import { ask, chatBody, connected, requestBytes, type SoakClient } from '../client.ts';

function unlucky(
  fault: string,
  fine: readonly string[],
  more: { readonly stream?: boolean; readonly share?: number } = {},
): SoakClient {
  const { stream = false, share = 1 } = more;
  return {
    ...{ name: `worker: ${fault}${stream ? ', stream' : ''}`, share, fine },
    exchange: (place) =>
      ask(place, {
        path: '/v1/chat/completions',
        headers: { 'x-sim-fault': fault },
        body: chatBody(place.random, { stream }),
      }),
  };
}

export const UNLUCKY: readonly SoakClient[] = [
  unlucky('status:code=503', ['503']),
  unlucky('status:code=500', ['500']),
  unlucky('status:code=429', ['429']),
  unlucky('reset', ['502']),
  unlucky('close', ['502']),
  unlucky('garbage', ['502']),
  unlucky('reset:after=2', ['cut', '200 error event'], { stream: true }),
  unlucky('close:after=2,partial=true', ['cut', '200 error event'], { stream: true }),
  unlucky('error_event:after=2', ['200 error event'], { stream: true }),
  unlucky('delay:ms=300', ['200']),
  unlucky('drip:bytes=7,ms=1', ['200', '200 stream'], { stream: true }),
  unlucky('length:by=-5', ['200', 'cut']),
  unlucky('length:by=5', ['cut', '502']),
  unlucky('no_framing', ['200']),
  {
    ...{ name: 'leaves a hanging worker', share: 1, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        client.send(
          requestBytes({
            path: '/v1/chat/completions',
            headers: { 'x-sim-fault': 'hang:after=1' },
            body: chatBody(place.random, { stream: true }),
          }),
        );
        await client.seen(/data: /);
        return 'left';
      }),
  },
];
