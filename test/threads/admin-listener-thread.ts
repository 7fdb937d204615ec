/** The same in a thread of its own: see `admin-listener.ts`. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { listenForControl, type ListenerOptions } from './admin-listener.ts';

// What `test/support/admin-layouts.ts` gives it.
const { options, port } = workerData as { readonly options: ListenerOptions; readonly port: MessagePort };
await listenForControl(new PortChannel(port), options);
