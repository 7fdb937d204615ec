import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import type { Centroid, CentroidSource } from './centroids.ts';

/** To request threads: the middles of clusters from now on. */
const CENTROIDS: MessageKind<readonly Centroid[]> = { name: 'semantic:centroids' };
/** To control: a thread begins. */
const CENTROIDS_WANTED: MessageKind<null> = { name: 'semantic:centroids-wanted' };
/** To control: vectors of so many dimensions are made now. */
const OTHER_SPACE: MessageKind<number> = { name: 'semantic:other-space' };

/** In control: tells all threads what one of them has found. Returns how to tell them what has changed. */
export function showCentroids(
  channels: Channels,
  source: () => CentroidSource,
): (centroids: readonly Centroid[]) => void {
  channels.on(CENTROIDS_WANTED, (row) => {
    channels.to(row)?.post(CENTROIDS, source().centroids);
  });
  channels.on(OTHER_SPACE, (_row, dimensions) => {
    source().otherSpace(dimensions);
  });
  return (centroids) => {
    channels.broadcast(CENTROIDS, centroids);
  };
}

/** In a request thread: what control has told. */
export class CentroidsOfThread implements CentroidSource {
  readonly #channel: Channel;
  #centroids: readonly Centroid[] = [];

  constructor(channel: Channel) {
    this.#channel = channel;
    channel.on(CENTROIDS, (centroids) => {
      this.#centroids = centroids;
    });
    channel.post(CENTROIDS_WANTED, null);
  }

  get centroids(): readonly Centroid[] {
    return this.#centroids;
  }

  otherSpace(dimensions: number): void {
    this.#channel.post(OTHER_SPACE, dimensions);
  }
}
