/** Answers that are found by the meaning of what was asked. */
export interface SemanticAnswers {
  /** undefined: none near enough, or it could not be known in time. `partition` is a digest of everything that must be equal. */
  find(partition: string, embedding: Float32Array): Promise<SemanticHit | undefined>;
  /** Nobody waits for it. */
  keep(partition: string, embedding: Float32Array, value: Buffer): void;
}

export interface SemanticHit {
  readonly value: Buffer;
  /** Cosine. */
  readonly similarity: number;
}
