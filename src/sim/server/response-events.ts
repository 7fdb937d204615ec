import { outputText } from './output.ts';
import { outputItem, responseObject, type StoredResponse } from './response-object.ts';

/** The event stream of one response: named events, numbered, without a `[DONE]`. */
export class ResponseEvents {
  readonly #response: StoredResponse;
  readonly #send: (event: string) => void;
  #sequence = 0;

  constructor(response: StoredResponse, send: (event: string) => void) {
    this.#response = response;
    this.#send = send;
  }

  begin(): void {
    this.#event('response.created', { response: responseObject(this.#response) });
    this.#event('response.in_progress', { response: responseObject(this.#response) });
  }

  beginItem(): void {
    this.#event('response.output_item.added', {
      output_index: 0,
      item: outputItem(this.#response, 'in_progress'),
    });
    if (this.#response.tool) return;
    const part = { type: 'output_text', text: '', annotations: [], logprobs: [] };
    this.#event('response.content_part.added', { ...this.#place(), part });
  }

  delta(from: number, to: number): void {
    const delta = outputText(this.#response.plan.output, from, to);
    if (this.#response.tool)
      this.#event('response.function_call_arguments.delta', { ...this.#item(), delta });
    else this.#event('response.output_text.delta', { ...this.#place(), delta, logprobs: [] });
  }

  end(): void {
    const text = outputText(this.#response.plan.output);
    const { tool } = this.#response;
    if (tool) {
      this.#event('response.function_call_arguments.done', {
        ...this.#item(),
        name: tool.name,
        arguments: text,
      });
    } else {
      const part = { type: 'output_text', text, annotations: [], logprobs: null };
      this.#event('response.output_text.done', { ...this.#place(), text, logprobs: [] });
      this.#event('response.content_part.done', { ...this.#place(), part });
    }
    this.#event('response.output_item.done', {
      output_index: 0,
      item: outputItem(this.#response, 'completed'),
    });
    const type = this.#response.status === 'incomplete' ? 'response.incomplete' : 'response.completed';
    this.#event(type, { response: responseObject(this.#response) });
  }

  #item(): object {
    return { item_id: this.#response.itemId, output_index: 0 };
  }

  #place(): object {
    return { ...this.#item(), content_index: 0 };
  }

  #event(type: string, fields: object): void {
    this.#send(
      `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: this.#sequence++, ...fields })}\n\n`,
    );
  }
}
