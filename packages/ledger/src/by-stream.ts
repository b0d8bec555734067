/**
 * Values by organisation and gateway. A map in a map and no key joined of both: the walk gives the same texts again and again,
 * and a joined one would be made and hashed for each event.
 */
export class ByStream<Value> {
  readonly #orgs = new Map<string, Map<string, Value>>();
  #size = 0;
  // Events of one gateway often come together, so the last one is kept at hand.
  #orgId = '';
  #gateways: Map<string, Value> | undefined;

  get size(): number {
    return this.#size;
  }

  get(orgId: string, gatewayId: string): Value | undefined {
    return this.#of(orgId)?.get(gatewayId);
  }

  set(orgId: string, gatewayId: string, value: Value): void {
    let gateways = this.#of(orgId);
    if (gateways === undefined) {
      this.#orgs.set(orgId, (gateways = new Map()));
      this.#gateways = gateways;
    }
    const before = gateways.size;
    gateways.set(gatewayId, value);
    this.#size += gateways.size - before;
  }

  clear(): void {
    this.#orgs.clear();
    this.#gateways = undefined;
    this.#size = 0;
  }

  /** By organisation and then by gateway, each in the order in which they came. */
  *values(): Generator<Value> {
    for (const gateways of this.#orgs.values()) yield* gateways.values();
  }

  #of(orgId: string): Map<string, Value> | undefined {
    if (this.#gateways === undefined || orgId !== this.#orgId) {
      this.#orgId = orgId;
      this.#gateways = this.#orgs.get(orgId);
    }
    return this.#gateways;
  }
}
