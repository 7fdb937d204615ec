import { badRequest, notFound } from './api-error.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { booleanField, stringField } from './fields.ts';
import type { SimState } from './sim-state.ts';

/** GET /v1/models: every served name and every adapter. */
export function listModels(sim: SimState, exchange: Exchange): void {
  const { models } = sim.settings;
  const cards = [
    ...models.map((id) => card(sim, id, sim.mainModel, null, sim.settings.model.maxModelLen)),
    ...[...sim.loras].map(([id, path]) => card(sim, id, path, sim.mainModel, null)),
  ];
  exchange.reply.json(JSON.stringify({ object: 'list', data: cards }));
}

function card(
  sim: SimState,
  id: string,
  root: string,
  parent: string | null,
  maxModelLen: number | null,
): object {
  const permission = {
    id: `modelperm-${id}`,
    object: 'model_permission',
    created: sim.created,
    allow_create_engine: false,
    allow_sampling: true,
    allow_logprobs: true,
    allow_search_indices: false,
    allow_view: true,
    allow_fine_tuning: false,
    organization: '*',
    group: null,
    is_blocking: false,
  };
  return {
    id,
    object: 'model',
    created: sim.created,
    owned_by: 'vllm',
    root,
    parent,
    max_model_len: maxModelLen,
    permission: [permission],
  };
}

/** POST /v1/load_lora_adapter */
export function loadAdapter(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const name = stringField(body, 'lora_name');
  const path = stringField(body, 'lora_path');
  if (!name || !path) throw badRequest("Both 'lora_name' and 'lora_path' must be provided.");
  if (sim.loras.has(name) && !booleanField(body, 'load_inplace')) {
    throw badRequest(`The lora adapter '${name}' has already been loaded.`);
  }
  sim.loras.set(name, path);
  exchange.reply.send(
    200,
    'text/plain; charset=utf-8',
    `Success: LoRA adapter '${name}' added successfully.`,
  );
}

/** POST /v1/unload_lora_adapter */
export function unloadAdapter(sim: SimState, exchange: Exchange): void {
  const name = stringField(fieldsOf(exchange), 'lora_name');
  if (!name) throw badRequest("'lora_name' needs to be provided to unload a LoRA adapter.");
  if (!sim.loras.delete(name)) throw notFound(`The lora adapter '${name}' cannot be found.`);
  exchange.reply.send(
    200,
    'text/plain; charset=utf-8',
    `Success: LoRA adapter '${name}' removed successfully.`,
  );
}
