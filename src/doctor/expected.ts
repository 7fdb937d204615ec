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

type ExpectedSettings = Pick<Settings, 'health' | 'policy' | 'modelPolicies'>;

export function expectedOf(settings: ExpectedSettings): Expected {
  return {
    healthPath: settings.health.path,
    blockSize: blockSizeOf(settings),
    eventEndpoints: undefined,
  };
}

/** Of the policies that count in blocks; undefined where none does, or they do not agree. */
function blockSizeOf({ policy, modelPolicies }: ExpectedSettings): number | undefined {
  const sizes = new Set(
    [policy, ...modelPolicies.map((own) => own.policy)].flatMap((settings) =>
      settings.type === 'kv_aware' ? [settings.blockSize] : [],
    ),
  );
  const [size] = sizes;
  return sizes.size === 1 ? size : undefined;
}
