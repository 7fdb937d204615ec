import type { VllmCase } from '../case.ts';
import { doctorCase } from './doctor.ts';
import { eventsCase } from './events.ts';
import { pairCase } from './pair.ts';
import { predictionCase } from './prediction.ts';

/** In this order; each gets the servers that it needs. */
export const CASES: readonly VllmCase[] = [eventsCase, predictionCase, doctorCase, pairCase];
