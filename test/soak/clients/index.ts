import type { SoakClient } from '../client.ts';
import { ANSWERED } from './answered.ts';
import { LEAVING } from './leaving.ts';
import { SENSELESS } from './senseless.ts';
import { TUNNELLING } from './tunnelling.ts';
import { UNLUCKY } from './unlucky.ts';
import { UPLOADING } from './uploading.ts';

export const CLIENTS: readonly SoakClient[] = [
  ...ANSWERED,
  ...UPLOADING,
  ...LEAVING,
  ...TUNNELLING,
  ...SENSELESS,
  ...UNLUCKY,
];
