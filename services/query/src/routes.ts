import { countFacetsRoute, countHistogramRoute } from './count-events.ts';
import { countExportRoute, exportEventsRoute } from './export-events.ts';
import { listInventoryRoute, readCompletenessRoute } from './list-inventory.ts';
import { createKeyRoute, listKeysRoute, readCallerRoute, revokeKeyRoute } from './manage-keys.ts';
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

/** Everything that is served, and who may. What is not here does not exist; the test of every route and role is made of it. */
export const ROUTES: readonly Route[] = [
  readCallerRoute,
  searchEventsRoute,
  readEventRoute,
  readSessionRoute,
  countFacetsRoute,
  countHistogramRoute,
  listInventoryRoute,
  readCompletenessRoute,
  listAlertsRoute,
  tailEventsRoute,
  runReportRoute,
  runSqlRoute,
  countExportRoute,
  exportEventsRoute,
  listSavedRoute,
  readSavedRoute,
  createSavedRoute,
  changeSavedRoute,
  deleteSavedRoute,
  listKeysRoute,
  createKeyRoute,
  revokeKeyRoute,
];
