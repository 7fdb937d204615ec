/** What is wrong with a value that its own key's schema lets pass. */
export interface CheckProblem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** A file could not be read at all: what stands in it may be right. */
  readonly unreadable?: true;
}
