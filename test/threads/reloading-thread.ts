/** A thread that follows reloads, and says which ones. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { settingsFromPosted } from '../../src/config/load/material.ts';
import { NO_PLUGINS } from '../../src/config/schema/plugin-policy-schema.ts';
import { followReloads } from '../../src/threads/reload-protocol.ts';

// What `src/threads/reload-protocol.test.ts` gives it.
const { port, generation } = workerData as { readonly port: MessagePort; readonly generation: number };
const channel = new PortChannel(port);
/** Sizes of queues: what tells the configurations of the test apart. */
const inForce: number[] = [];
followReloads(channel, {
  generation,
  compile: (config) => settingsFromPosted(config, NO_PLUGINS),
  commit: ({ admission }) => inForce.push(admission.queueSize),
});
channel.answer({ name: 'test:in-force' }, () => inForce);
