import { key, secs, secsOrZero } from './field.ts';

/** How long a request waits for whom. */
export const timeoutKeys = {
  request_timeout_secs: key(secs().default(1800), {
    group: 'Timeouts',
    about: 'One deadline for a request: queue, pauses and all attempts together.',
  }),
  connect_timeout_secs: key(secs().default(10), {
    group: 'Timeouts',
    about: 'For the connection to a worker.',
  }),
  first_token_timeout_secs: key(secsOrZero().default(0), {
    group: 'Timeouts',
    about: "From sending a request to the first byte of the worker's body; 0 = off.",
  }),
  stream_idle_timeout_secs: key(secs().default(300), {
    group: 'Timeouts',
    about: 'Silence of a worker after its first event.',
  }),
  tunnel_idle_timeout_secs: key(secs().default(3600), {
    group: 'Timeouts',
    about: 'Silence of a WebSocket tunnel, both ways.',
  }),
  header_timeout_secs: key(secs().default(30), {
    group: 'Timeouts',
    about: 'For the head of a request to arrive.',
  }),
  body_idle_timeout_secs: key(secs().default(60), {
    group: 'Timeouts',
    about: 'Silence of a client while its request body arrives.',
  }),
};
