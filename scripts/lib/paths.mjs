import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of package.json, with a trailing separator left off. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
