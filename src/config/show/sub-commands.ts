/** What may stand first on the command line. Without any of these the program is the server. */
export const SUB_COMMANDS = [
  { name: 'sim', usage: 'sim [flags]', about: 'Runs simulated vLLM workers, without a GPU.' },
  { name: 'demo', usage: 'demo', about: 'Runs a simulated fleet with the router in front of it.' },
  {
    name: 'simulate',
    usage: 'simulate [flags]',
    about: 'Compares policies on a workload, in virtual time.',
  },
  {
    name: 'replay',
    usage: 'replay [flags]',
    about: 'Decides a decision log again under other configurations.',
  },
  {
    name: 'doctor',
    usage: 'doctor [URL] [flags]',
    about: 'Examines the workers, or those of a running router.',
  },
  { name: 'config', usage: 'config check FILE', about: 'Says whether a configuration file is valid.' },
  {
    name: 'config',
    usage: 'config print [flags]',
    about: 'Shows the effective configuration and where each value came from.',
  },
  { name: 'config', usage: 'config schema', about: 'Shows the JSON schema of the configuration file.' },
  {
    name: 'config',
    usage: 'config schema --record',
    about: 'Shows the JSON schema of a line of the decision log.',
  },
  { name: 'help', usage: 'help [TOPIC]', about: 'Shows all flags, those of one topic, or a command.' },
  { name: 'version', usage: 'version', about: 'Shows the version.' },
] as const;

export type SubCommand = (typeof SUB_COMMANDS)[number]['name'];

export const SUB_COMMAND_NAMES: readonly SubCommand[] = [...new Set(SUB_COMMANDS.map(({ name }) => name))];
