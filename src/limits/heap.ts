/** A value in a heap, and where it stands there. */
export interface HeapNode<T> {
  readonly value: T;
  place: number;
}

/** A binary heap whose values may change their order, and leave, at any time. */
export class Heap<T> {
  readonly #before: (left: T, right: T) => boolean;
  readonly #nodes: HeapNode<T>[] = [];

  /** `before`: a strict total order. */
  constructor(before: (left: T, right: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#nodes.length;
  }

  get top(): T | undefined {
    return this.#nodes[0]?.value;
  }

  add(value: T): HeapNode<T> {
    const node: HeapNode<T> = { value, place: this.#nodes.length };
    this.#nodes.push(node);
    this.#up(node);
    return node;
  }

  /** `node` must be in this heap. */
  remove(node: HeapNode<T>): void {
    const last = this.#nodes.pop();
    if (last === undefined || last === node) return;
    this.#put(last, node.place);
    this.moved(last);
  }

  /** The node's value has changed its order. */
  moved(node: HeapNode<T>): void {
    this.#up(node);
    this.#down(node);
  }

  #up(node: HeapNode<T>): void {
    let { place } = node;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#nodes[above];
      if (parent === undefined || !this.#before(node.value, parent.value)) break;
      this.#put(parent, place);
      place = above;
    }
    this.#put(node, place);
  }

  #down(node: HeapNode<T>): void {
    let { place } = node;
    for (;;) {
      const left = this.#nodes[2 * place + 1];
      if (left === undefined) break;
      const right = this.#nodes[2 * place + 2];
      const child = right !== undefined && this.#before(right.value, left.value) ? right : left;
      if (!this.#before(child.value, node.value)) break;
      const below = child.place;
      this.#put(child, place);
      place = below;
    }
    this.#put(node, place);
  }

  #put(node: HeapNode<T>, place: number): void {
    this.#nodes[place] = node;
    node.place = place;
  }
}
