import { helpText } from '../config/show/help-text.ts';
import { VERSION } from '../config/version.ts';

export function printHelp(): void {
  process.stdout.write(helpText(process.stdout.columns ?? 100));
}

export function printVersion(): void {
  process.stdout.write(`vllm-router ${VERSION}\n`);
}
