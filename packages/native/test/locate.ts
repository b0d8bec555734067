import type { Plan, PlannedField } from '../src/plan.ts';
import { readVarint, varintEnd } from '../src/varint.ts';

/** Where each field of a datum of any schema begins: what the walk notes of events. */
export function locate(fields: readonly PlannedField[], bytes: Uint8Array, start: number): number[] {
  let p = start;
  return fields.map(({ plan }) => {
    const begin = p;
    p = pass(plan, bytes, p);
    return begin;
  });
}

/** Where the value of a plan that begins here ends. */
function pass(plan: Plan, bytes: Uint8Array, from: number): number {
  let p = from;
  switch (plan.kind) {
    case 'string':
    case 'dictionary':
      return passText(bytes, p);
    case 'int32':
    case 'int64':
    case 'enum':
      while (bytes[p++]! > 127);
      return p;
    case 'nullable':
      return bytes[p] === 0 ? p + 1 : pass(plan.of, bytes, p + 1);
    case 'tuple':
      for (const field of plan.fields) p = pass(field.plan, bytes, p);
      return p;
    case 'array': {
      const count = readVarint(bytes, p) / 2;
      p = varintEnd.at;
      for (let item = 0; item < count; item += 1) p = pass(plan.of, bytes, p);
      return count > 0 ? p + 1 : p;
    }
    default:
      return p + fixedSize(plan);
  }
}

function passText(bytes: Uint8Array, from: number): number {
  const size = readVarint(bytes, from) / 2;
  return varintEnd.at + size;
}

function fixedSize(plan: Plan): number {
  if (plan.kind === 'fixed' || plan.kind === 'float') return plan.size;
  return plan.kind === 'uuid' ? 16 : 1;
}
