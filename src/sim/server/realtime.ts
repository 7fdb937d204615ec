import { isFields } from './fields.ts';
import type { SimState } from './sim-state.ts';
import type { SocketMessage, WebSocketPeer } from './websocket.ts';

/** WS /v1/realtime: each committed buffer of sound is answered by a made-up transcript, in pieces. */
export function realtime(sim: SimState, peer: WebSocketPeer): (message: SocketMessage) => void {
  let bytes = 0;
  const send = (value: object): void => {
    peer.send(JSON.stringify(value));
  };
  send({ type: 'session.created', id: `sess-${sim.nextId()}`, created: sim.unixSeconds() });
  return (message) => {
    const event = parse(message);
    switch (event?.['type']) {
      case 'session.update':
        if (typeof event['model'] === 'string' && !isServed(sim, event['model'])) {
          send({
            type: 'error',
            error: `The model \`${event['model']}\` does not exist.`,
            code: 'model_not_found',
          });
        }
        return;
      case 'input_audio_buffer.append':
        bytes += typeof event['audio'] === 'string' ? Math.floor((event['audio'].length * 3) / 4) : 0;
        return;
      case 'input_audio_buffer.commit': {
        const words = [`${bytes} `, 'bytes ', 'heard'];
        for (const delta of words) send({ type: 'transcription.delta', delta });
        const usage = { prompt_tokens: Math.ceil(bytes / 960), completion_tokens: words.length };
        send({ type: 'transcription.done', text: words.join(''), usage });
        bytes = 0;
        return;
      }
      default:
        send({ type: 'error', error: 'Unknown event type', code: 'unknown_event' });
    }
  };
}

function isServed(sim: SimState, model: string): boolean {
  return sim.settings.models.includes(model) || sim.loras.has(model);
}

function parse(message: SocketMessage): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(message.data.toString());
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
