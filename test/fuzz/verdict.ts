/** How two parsers compare on one text. */
export type Verdict =
  | { readonly kind: 'same' }
  /** We refuse what Node's takes; `why` is our reason. */
  | { readonly kind: 'stricter'; readonly why: string }
  | { readonly kind: 'looser'; readonly why: string; readonly text: string };
