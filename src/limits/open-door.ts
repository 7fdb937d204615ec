import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { AdmissionSettings } from '../config/settings/settings.ts';
import { Admission } from './admission.ts';
import { AskingThreads } from './asking-threads.ts';
import type { Door } from './door.ts';
import { JoinedAdmission } from './joined-admission.ts';

/** The door, as far as it is this thread's. */
export function openDoor(settings: AdmissionSettings, clock: Clock, part: ThreadPart): Door {
  if (part.kind === 'request') return new JoinedAdmission(settings, { clock, ...part });
  const admission = new Admission(settings, clock, part.memory);
  if (part.kind === 'control') new AskingThreads(admission, part);
  return admission;
}
