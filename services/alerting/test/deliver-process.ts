/** Delivers what a file owes, until it is killed. Arguments: file, port of the receiver. */
import { openGuardedHttp } from '@cairn/adapters';
import { realClock } from '@cairn/runtime';
import { DeliveryStore, refusalsOf } from '@cairn/webhook';
import { deliverAlerts } from '../src/deliver-alerts.ts';

const [file = '', port = ''] = process.argv.slice(2);
const network = { ports: [Number(port)], plainHttp: true, allow: ['127.0.0.1/32'] };
const url = `http://127.0.0.1:${port}/killed`;
deliverAlerts({
  store: new DeliveryStore(file),
  webhooks: { network, endpoints: [{ name: 'killed', url, format: 'slack', secrets: [], level: 'low' }] },
  httpOf: () => openGuardedHttp({ refusalOf: refusalsOf(network) }),
  clock: realClock,
  nowMs: Date.now,
  onAttempt: () => {},
  onTrouble: (error) => process.stderr.write(`${String(error)}\n`),
});
process.stdout.write('delivering\n');
