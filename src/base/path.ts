/** Whether it is written as a path, and could not be the name of something on a hub. */
export function isPath(text: string): boolean {
  return /^\.{0,2}\//.test(text) && !text.includes('\0');
}
