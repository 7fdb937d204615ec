import { collectStart } from './collect-start.ts';
import { giveOldGenerationRoom } from './old-generation.ts';
import { limitYoungGeneration } from './young-generation.ts';

/** Sets V8's collector up for a thread that serves requests, once it does. */
export function setUpCollector(isBusy: boolean): void {
  giveOldGenerationRoom();
  if (!isBusy) collectStart();
  limitYoungGeneration();
}
