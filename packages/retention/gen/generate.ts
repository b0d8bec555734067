// Writes schemas/retention.schema.json from src/policy-schema.ts. A test compares the two.
//
//   node packages/retention/gen/generate.ts
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { policyJsonSchema } from '../src/policy-schema.ts';

const file = join(import.meta.dirname, '..', '..', '..', 'schemas', 'retention.schema.json');
writeFileSync(file, `${JSON.stringify(policyJsonSchema(), null, 2)}\n`);
