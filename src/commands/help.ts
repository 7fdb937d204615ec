import { wantsColours } from '../base/colours.ts';
import { didYouMean, nearest } from '../base/suggest.ts';
import { helpText, helpTopics, topicText, type HelpStyle } from '../config/show/help-text.ts';
import { SUB_COMMAND_NAMES } from '../config/show/sub-commands.ts';
import { VERSION } from '../config/version.ts';

/** Everything, or one topic. Resolves to the exit code: 2 for a topic that there is not. */
export function help(topic?: string): number {
  const text = topic === undefined ? helpText(style()) : topicText(topic, style());
  if (text === undefined) {
    const topics = helpTopics();
    const hint = didYouMean(nearest(topic ?? '', [...topics, ...SUB_COMMAND_NAMES]));
    process.stderr.write(
      `vllm-router: no help on ${JSON.stringify(topic)}${hint}\ntopics: ${topics.join(', ')}\n`,
    );
    return 2;
  }
  process.stdout.write(text);
  return 0;
}

export function printVersion(): number {
  process.stdout.write(`vllm-router ${VERSION}\n`);
  return 0;
}

function style(): HelpStyle {
  const colours = wantsColours(process.stdout, process.env);
  const bold = (heading: string): string => `\u001b[1m${heading}\u001b[0m`;
  return { columns: process.stdout.columns ?? 100, ...(colours && { paint: bold }) };
}
