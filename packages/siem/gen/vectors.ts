import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { vectors } from '../test/vectors.ts';

// node packages/siem/gen/vectors.ts: after a deliberate change of a format. What changed is then read in the difference.
const file = join(import.meta.dirname, '..', '..', '..', 'schemas', 'vectors', 'siem.json');
writeFileSync(file, `${JSON.stringify(vectors(), null, 2)}\n`);
