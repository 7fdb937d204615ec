/** What a request says cannot be said in the words of the other API. */
export class Untranslatable extends Error {
  override readonly name = 'Untranslatable';
  /** Where it stands, as Anthropic writes it: `messages.2.content.0.type`. */
  readonly field: string;

  constructor(field: string, why: string) {
    super(`${field}: ${why}`);
    this.field = field;
  }
}

/** Hears of what cannot be said in a chat. Where it returns, that is passed on as it stands, or left out. */
export type Refuse = (field: string, why: string) => void;

export const strictly: Refuse = (field, why) => {
  throw new Untranslatable(field, why);
};

/** For who reads a prompt that others may understand. */
export const leniently: Refuse = () => undefined;
