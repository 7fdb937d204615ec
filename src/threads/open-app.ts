import { App, type AppDeps } from '../app.ts';
import { systemClock } from '../base/system-clock.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { OpenLog } from '../observe/log.ts';
import type { RequestThreads } from './request-threads.ts';
import type { PluginSource } from '../plugins/load-plugins.ts';

export interface OpenAppDeps extends AppDeps {
  /** Where request threads find the plugins; undefined where they cannot: plugins that are objects of this thread. */
  readonly pluginSources: readonly PluginSource[] | undefined;
  /** Whether threads make up chats once they listen. */
  readonly warmUp: boolean;
  /** Handed the threads, where there are several, before they start. */
  readonly onThreads?: (threads: RequestThreads) => void;
  /** Writes what they have to say. */
  readonly lines?: Pick<OpenLog, 'takeFrom'> | undefined;
}

/** A router with as many threads as its settings say. What several need is loaded only where there are several. */
export async function openApp(
  settings: Settings,
  { pluginSources, warmUp, lines, onThreads, ...deps }: OpenAppDeps,
): Promise<App> {
  const single = settings.threads === 1 ? undefined : onlyOne(pluginSources);
  if (single !== undefined) deps.log.warn({ threads: settings.threads }, single);
  if (settings.threads === 1 || single !== undefined || pluginSources === undefined)
    return new App(settings, deps);
  const { RequestThreads: Threads } = await import('./request-threads.ts');
  const { ThreadsFront } = await import('./threads-front.ts');
  const threads = new Threads(settings.threads, systemClock);
  lines?.takeFrom(threads.channels);
  onThreads?.(threads);
  return new App(settings, {
    ...deps,
    part: threads.part,
    openFront: (control) =>
      new ThreadsFront(threads, { ...control, clock: systemClock, plugins: pluginSources, warmUp }),
  });
}

/** Why one thread serves all requests where more are configured. */
function onlyOne(sources: OpenAppDeps['pluginSources']): string | undefined {
  if (sources === undefined)
    return 'one thread serves all requests: the plugins are objects, which other threads cannot have';
  const single = sources.filter((plugin) => plugin.single).map(({ specifier }) => specifier);
  return single.length === 0 ? undefined : `one thread serves all requests, as ${single.join(', ')} wants it`;
}
