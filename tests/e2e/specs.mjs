// All of the page's tests, one after the other, in one browser.
import "./load.mjs";
import "./job.mjs";
import "./defaults.mjs";
import "./truth.mjs";
import "./running.mjs";
import "./files.mjs";
import "./sensitivity.mjs";
import "./target.mjs";
import "./faults.mjs";
import "./accuracy.mjs";
import "./precision.mjs";
import "./cost.mjs";
import "./compensation.mjs";
