import { countFacetsRoute, countHistogramRoute } from './count-events.ts';
import { exportBundleRoute } from './export-bundle.ts';
import { countExportRoute, exportEventsRoute } from './export-events.ts';
import { listInventoryRoute } from './list-inventory.ts';
import {
  listCheckpointsRoute,
  listSegmentsRoute,
  readCheckpointRoute,
  readSegmentRoute,
} from './list-segments.ts';
import { createHoldStatementRoute, listHoldsRoute } from './manage-holds.ts';
import { createKeyRoute, listKeysRoute, readCallerRoute, revokeKeyRoute } from './manage-keys.ts';
import { proveEventRoute } from './prove-event.ts';
import { readCompletenessRoute } from './read-completeness.ts';
import { readSessionRoute } from './read-session.ts';
import type { Route } from './route.ts';
import { runReportRoute } from './run-report.ts';
import { runSqlRoute } from './run-sql.ts';
import {
  changeSavedRoute,
  createSavedRoute,
  deleteSavedRoute,
  listSavedRoute,
  readSavedRoute,
} from './saved-searches.ts';
import { listAlertsRoute, readEventRoute, searchEventsRoute } from './search-events.ts';
import { tailEventsRoute } from './tail-events.ts';
import { unsealEventRoute } from './unseal-event.ts';

/** Everything that is served, and who may. What is not here does not exist; the test of every route and role is made of it. */
export const ROUTES: readonly Route[] = [
  readCallerRoute,
  searchEventsRoute,
  readEventRoute,
  proveEventRoute,
  unsealEventRoute,
  readSessionRoute,
  countFacetsRoute,
  countHistogramRoute,
  listInventoryRoute,
  readCompletenessRoute,
  listSegmentsRoute,
  readSegmentRoute,
  listCheckpointsRoute,
  readCheckpointRoute,
  listAlertsRoute,
  tailEventsRoute,
  runReportRoute,
  runSqlRoute,
  countExportRoute,
  exportEventsRoute,
  exportBundleRoute,
  listSavedRoute,
  readSavedRoute,
  createSavedRoute,
  changeSavedRoute,
  deleteSavedRoute,
  listKeysRoute,
  createKeyRoute,
  revokeKeyRoute,
  listHoldsRoute,
  createHoldStatementRoute,
];
