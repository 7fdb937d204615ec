import { GROUPS } from '../schema/field.ts';
import { META_FLAGS } from '../load/flags.ts';
import { flagMeaning, flagUsage, hasFlag } from './help-text.ts';
import { CONFIG_KEYS, type ConfigKey } from '../schema/keys.ts';
import { RELOAD_EFFECTS, type ReloadEffect } from '../reload/reload-effects.ts';
import { SUB_COMMANDS } from './sub-commands.ts';

export interface ReferencePage {
  /** Below the project's root. */
  readonly path: string;
  readonly markdown: string;
}

const GENERATED = '<!-- Generated from src/config/schema/schema.ts by `npm run docs`. Do not edit. -->';

/** The pages about the configuration file and the command line. */
export function referencePages(): ReferencePage[] {
  return [
    { path: 'docs/reference/config.md', markdown: configPage() },
    { path: 'docs/reference/cli.md', markdown: commandLinePage() },
    { path: 'docs/reference/reload.md', markdown: reloadPage() },
  ];
}

function configPage(): string {
  const parts = [
    GENERATED,
    '# Configuration',
    'Settings come from flags, `VLLM_ROUTER_*` environment variables, a YAML file (`--config-file`) and defaults, in this order of precedence. ' +
      'A list or mapping of a higher source replaces the lower one as a whole. Unknown keys, flags and variables stop the start.',
    'In variables, the items of lists are separated by commas or spaces, those of mappings are `name=value`; an empty variable counts as not set. ' +
      'Variables that Kubernetes makes for a Service called `vllm-router` (`VLLM_ROUTER_PORT=tcp://...` and the like) are ignored with a line in the log. ' +
      '`--env-file FILE` reads variables from a file; real ones go before it. `VLLM_ROUTER_CONFIG_FILE` names the YAML file.',
    'Secrets may be references: `${VAR}` for an environment variable, `file:/path` for the content of a file, `$$` for a dollar sign: ' +
      '[certificates and keys](../guide/security.md#keys-out-of-the-file).',
    'Sections may be given in part; `policy` may be a name instead of a mapping. Durations take fractions. ' +
      '`vllm-router config check FILE` validates a file, `vllm-router config print` shows what is in effect and where it came from, ' +
      '`vllm-router config schema` writes the JSON schema for editors.',
  ];
  for (const group of GROUPS) {
    const rows = CONFIG_KEYS.filter((key) => key.group === group).map(configRow);
    parts.push(`## ${group}`, table(['Key', 'Expected', 'Default', 'Flag', 'Variable', 'Meaning'], rows));
  }
  return `${parts.join('\n\n')}\n`;
}

function configRow(key: ConfigKey): string[] {
  const flags = [...key.flags, ...Object.keys(key.switches)].map(code).join(', ');
  const expected = key.kind === 'string' ? 'a string' : key.expected;
  const meaning = key.policies ? `${key.about} Policies: ${key.policies.map(code).join(', ')}.` : key.about;
  return [
    code(key.name),
    expected,
    key.defaultText,
    flags,
    key.env === undefined ? '' : code(key.env),
    meaning,
  ];
}

function commandLinePage(): string {
  const parts = [
    GENERATED,
    '# Command line',
    'Without a sub-command `vllm-router` is the server. Exit codes: 0 after a regular end, 1 after a failure, 2 for a command line or configuration that is not valid.',
    table(
      ['Command', 'What it does'],
      [
        [code('vllm-router [flags]'), 'Runs the router.'],
        ...SUB_COMMANDS.map(({ usage, about }) => [code(`vllm-router ${usage}`), about]),
      ],
    ),
    '`--name value` and `--name=value` mean the same. Lists take several values after one flag and add up over repetitions; every other flag may be given once. ' +
      'A switch `--x` is turned off by `--no-x` or `--x=false`. Defaults stand in brackets.',
    '## General',
    table(
      ['Flag', 'Meaning'],
      META_FLAGS.map(({ flags, value, about }) => [
        code(`${flags.join(', ')}${value === undefined ? '' : ` ${value}`}`),
        about,
      ]),
    ),
  ];
  for (const group of GROUPS) {
    const keys = CONFIG_KEYS.filter((key) => key.group === group && hasFlag(key));
    if (keys.length === 0) continue;
    parts.push(
      `## ${group}`,
      table(
        ['Flag', 'Meaning'],
        keys.map((key) => [code(flagUsage(key)), flagMeaning(key)]),
      ),
    );
  }
  return `${parts.join('\n\n')}\n`;
}

const EFFECTS: Readonly<Record<ReloadEffect, string>> = {
  applied: 'applied',
  adopted: 'adopted',
  policy: 'reset',
  workers: 'workers compared',
  restart_needed: '**restart needed**',
};

function reloadPage(): string {
  const rows = CONFIG_KEYS.map(({ name }) => {
    const [effect, about = ''] = RELOAD_EFFECTS[name] ?? ['restart_needed'];
    return [code(name), EFFECTS[effect], about];
  });
  const parts = [
    GENERATED,
    '# What a reload does with each key',
    'See [reload](../guide/reload.md). *Applied*: new requests, checks and connections follow the new value. *Adopted*: the same, and what was ' +
      'learnt or counted under the old one is kept. *Reset*: the policy begins anew when it or one of these parameters changes; the predicted index is kept where ' +
      'the old and the new policy look at it. *Workers compared*: those that the configuration names join, are drained or are ' +
      'updated in place. *Restart needed*: the value of the start stays in force, and the answer says so.',
    table(['Key', 'A reload', 'What becomes of the state'], rows),
  ];
  return `${parts.join('\n\n')}\n`;
}

const code = (text: string): string => `\`${text}\``;

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}
