import type { Settings } from '../config/settings/settings.ts';
import type { EventEndpoint } from './event-endpoints.ts';

/** What the configuration wants of the workers: a worker is held against it. */
export interface Expected {
  /** Route of the health check. */
  readonly healthPath: string;
  /** Tokens in a block; undefined where any will do. */
  readonly blockSize: number | undefined;
  /** Where events are to come from; undefined where it is left to what the worker advertises. */
  readonly eventEndpoints: readonly EventEndpoint[] | undefined;
}

export function expectedOf({ health }: Pick<Settings, 'health'>): Expected {
  return { healthPath: health.path, blockSize: undefined, eventEndpoints: undefined };
}
