import { annotatedSchema } from '../schema/keys.ts';
import { redacted } from '../schema/schema-node.ts';
import type { Config } from '../schema/schema.ts';

export const REDACTED = '***';

const SCHEMA = annotatedSchema();

/** A copy that may be shown: secrets read `***`, the names in a map of secrets stay. */
export function redactConfig(config: Config): Config {
  // Only texts are replaced, by texts.
  return redacted(SCHEMA, structuredClone(config), REDACTED) as Config;
}
