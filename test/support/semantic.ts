import type { RouterOptions } from '../../src/config/load/options.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import { post } from './chat.ts';
import { eventually, roundTrip, startFleet, type Fleet, type FleetOptions } from './fleet.ts';
import { freePort } from './free-port.ts';

export type ClusterOptions = NonNullable<RouterOptions['semanticCluster']>;

const EXAMPLES = {
  code: ['write a python function that sorts a list', 'write a rust function that reads a file'],
  cooking: ['how do I bake bread with rye flour', 'how do I cook rice with saffron'],
} as const;

/** What the simulated embedder, which goes by words, finds near to the examples, or not. */
export const ASKED = {
  code: 'write a python function that reads a list',
  cooking: 'how do I bake rice bread with saffron',
  neither: 'zebras gallop silently beneath purple moons',
} as const;

/** A simulated engine that nothing but vectors is asked of. */
export function startEmbedder(): Promise<SimWorker> {
  return startSimWorker({ timeScale: 0.01, models: ['sim-embedder'] });
}

export interface ClusterFleetOptions extends FleetOptions {
  /** In the place of those of a first worker for code, a second one for cooking. */
  readonly cluster?: ClusterOptions;
  /** How many clusters are to be known before the test goes on; default 2. */
  readonly known?: number;
}

/** Three workers: the first one serves code, the second one cooking, and the last one is in no cluster. */
export async function startClusterFleet(
  embedderUrl: string | undefined,
  { cluster, known = 2, ...options }: ClusterFleetOptions = {},
): Promise<Fleet> {
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  const clusters = (['code', 'cooking'] as const).map((name, index) => ({
    ...{ name, examples: [...EXAMPLES[name]], workers: [`http://127.0.0.1:${ports[index]}`] },
  }));
  const fleet = await startFleet({
    workers: ports.map((port) => ({ port })),
    ...options,
    router: {
      ...options.router,
      semanticCluster: {
        ...{ embeddingsModel: 'sim-embedder', threshold: 0.5, embeddingTimeoutMs: 5000, clusters },
        ...(embedderUrl !== undefined && { embeddingsUrl: embedderUrl }),
        ...cluster,
      },
    },
  });
  try {
    await eventually(() => fleet.app.runtime.semantic.clusters.centroids.length === known);
    await roundTrip(fleet);
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return fleet;
}

/** A chat whose only message this is. */
export async function ask(
  fleet: Pick<Fleet, 'url'>,
  content: string,
  more: object = {},
  init: RequestInit = {},
): Promise<{ readonly headers: Headers; readonly status: number; readonly text: string }> {
  const body = { model: 'sim-model', max_tokens: 2, messages: [{ role: 'user', content }], ...more };
  const answer = await post(fleet, '/v1/chat/completions', body, init);
  return { headers: answer.headers, status: answer.status, text: await answer.text() };
}
