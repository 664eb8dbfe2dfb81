// One script for every page: the report of a run draws its record, the pages of the site are text already and get charts
// and tables that can be sorted and searched.
import { drawReport } from "./page";
import { enliven } from "./site";
import type { RunRecord } from "./record";

const record = document.getElementById("record");
if (record) drawReport(JSON.parse(record.textContent ?? "") as RunRecord);
else enliven();
