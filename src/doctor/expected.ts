import type { Settings } from '../config/settings/settings.ts';

/** What the configuration wants of the workers: a worker is held against it. */
export interface Expected {
  /** Route of the health check. */
  readonly healthPath: string;
}

export function expectedOf({ health }: Pick<Settings, 'health'>): Expected {
  return { healthPath: health.path };
}
