import type { KvEventSettings } from '../config/settings/kv-events.ts';
import type { TokenizerPaths } from '../config/settings/exact-tokens.ts';
import type { KvConnector } from '../config/settings/pd-settings.ts';
import type { LmcacheSettings, Settings, StagePolicy } from '../config/settings/settings.ts';

/** What the configuration wants of the workers: a worker is held against it. */
export interface Expected {
  /** Route of the health check. */
  readonly healthPath: string;
  /** Tokens in a block; undefined where any will do. */
  readonly blockSize: number | undefined;
  /** LMCache's controller; undefined where nothing asks it. */
  readonly lmcache: LmcacheSettings | undefined;
  /** Tokenizers of the router's own. */
  readonly tokenizers: TokenizerPaths;
  /** Whether these lie where a router runs, which may be another machine. */
  readonly isElsewhere: boolean;
  /** Whose events are followed, and where. */
  readonly kvEvents: KvEventSettings;
  /** How prefill workers hand over. */
  readonly kvConnector: KvConnector;
}

type ExpectedSettings = Pick<
  Settings,
  'health' | 'policy' | 'modelPolicies' | 'pd' | 'tokens' | 'lmcache' | 'kvEvents'
>;

export function expectedOf(settings: ExpectedSettings, isElsewhere = false): Expected {
  return {
    healthPath: settings.health.path,
    blockSize: blockSizeOf(settings),
    lmcache: asksLmcache(settings) ? settings.lmcache : undefined,
    tokenizers: settings.tokens.paths,
    isElsewhere,
    kvEvents: settings.kvEvents,
    kvConnector: settings.pd.connector,
  };
}

function asksLmcache(settings: ExpectedSettings): boolean {
  return settings.lmcache.forEveryPolicy || policiesOf(settings).some(({ type }) => type === 'lmcache_aware');
}

function policiesOf({ policy, modelPolicies, pd }: ExpectedSettings): readonly StagePolicy[] {
  const ofStages = [pd.prefillPolicy, pd.decodePolicy].filter((own) => own !== undefined);
  return [policy, ...modelPolicies.map((own) => own.policy), ...ofStages];
}

/** Of the policies that count in blocks; undefined where none does, or they do not agree. */
function blockSizeOf(expected: ExpectedSettings): number | undefined {
  const sizes = new Set(
    policiesOf(expected).flatMap((settings) => (settings.type === 'kv_aware' ? [settings.blockSize] : [])),
  );
  const [size] = sizes;
  return sizes.size === 1 ? size : undefined;
}
