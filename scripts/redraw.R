# usage: Rscript scripts/redraw.R FOLDER [OUT.pdf]
# Opens a results folder of `wirelab run` and draws its report again, one page per plot: delivery latency per transport,
# bytes per line, theory residuals. Needs R and no package. scripts/test does not run it: it was run by hand, with R 4.2.2.

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) < 1) stop("usage: Rscript scripts/redraw.R FOLDER [OUT.pdf]")
folder <- arguments[1]
if (!file.exists(file.path(folder, "runs.csv"))) stop(folder, " is no results folder: it has no runs.csv")
out <- if (length(arguments) > 1) arguments[2] else "redrawn.pdf"

# The colours of the report.
colours <- c(
  "short-poll" = "#0060a8", "long-poll" = "#b84300", sse = "#00795a", ndjson = "#99407f", websocket = "#7a5c00"
)
read <- function(name) read.csv(file.path(folder, name), na.strings = "", encoding = "UTF-8", check.names = FALSE)

runs <- read("runs.csv")
rownames(runs) <- runs$run_id
# Nothing may be claimed from an invalid run.
valid <- runs[runs$verdict != "invalid", ]
if (nrow(valid) == 0) stop("every run is invalid: there is nothing to draw")
colour <- function(run_id) unname(colours[as.character(runs[as.character(run_id), "transport"])])

# Every latency of a run in ms: its receipts if `run --raw` kept them, else the quantiles of percentiles.csv.
receipts <- function(run_id) {
  file <- file.path(folder, "raw", paste0(run_id, ".ndjson.gz"))
  if (!file.exists(file)) return(NULL)
  connection <- gzfile(file, "rt")
  on.exit(close(connection))
  lines <- readLines(connection)
  member <- function(name) as.numeric(sub(paste0('.*"', name, '":([0-9]+).*'), "\\1", lines))
  rows <- data.frame(
    who = paste(member("deployment"), member("subscriber"), member("seq")),
    late_ms = (member("received_us") - member("due_us")) / 1000
  )
  rows <- rows[!duplicated(rows$who), ]
  sort(rows$late_ms)
}

percentiles <- read("percentiles.csv")
percentiles <- percentiles[
  percentiles$metric == "delivery_latency" & percentiles$run_id %in% valid$run_id & !is.na(percentiles$value_us),
]

pdf(out, width = 9, height = 6)

latencies <- lapply(setNames(valid$run_id, valid$run_id), receipts)
limits <- range(pmax(percentiles$value_us / 1000, 0.001), pmax(unlist(latencies), 0.001))
plot(NA, xlim = c(0, 1), ylim = limits, log = "y", xlab = "share of the lines", ylab = "delivery latency (ms)",
     main = "How late do lines arrive?")
grid()
for (run_id in valid$run_id) {
  late_ms <- latencies[[run_id]]
  if (is.null(late_ms)) {
    of_run <- percentiles[percentiles$run_id == run_id, ]
    lines(of_run$quantile, of_run$value_us / 1000, type = "b", lwd = 2, col = colour(run_id))
  } else {
    lines(seq_along(late_ms) / length(late_ms), pmax(late_ms, 0.001), type = "s", lwd = 2, col = colour(run_id))
  }
}
legend("topleft", legend = valid$run_id, col = colour(valid$run_id), lwd = 2, bg = "white")

layers <- grep("_per_line_bytes$", names(valid), value = TRUE)
layers <- layers[colSums(!is.na(valid[layers])) > 0]
layers <- layers[order(sapply(valid[layers], median, na.rm = TRUE))]
medians <- aggregate(valid[layers], list(transport = valid$transport), median, na.rm = TRUE)
old <- par(mar = c(5, 8, 4, 2))
barplot(t(as.matrix(medians[layers])), xlim = c(0, 1.3 * max(medians[layers], na.rm = TRUE)), beside = TRUE, horiz = TRUE, las = 1, names.arg = medians$transport,
        legend.text = layers, xlab = "bytes per delivered line, median over valid runs", main = "What does a line cost?")
par(old)

theory <- read("theory.csv")
judged <- theory[
  theory$verdict %in% c("pass", "fail") & theory$run_id %in% valid$run_id & !is.na(theory$residual_ratio),
]
if (nrow(judged) > 0) {
  reach <- max(10, abs(100 * judged$residual_ratio))
  dotchart(100 * judged$residual_ratio, labels = paste(judged$run_id, judged$formula, judged$quantity), cex = 0.7,
           xlim = c(-reach, reach),
           color = colour(judged$run_id), pch = ifelse(judged$verdict == "pass", 19, 4),
           xlab = "measured / predicted - 1 (%); a cross is outside of its tolerance", main = "Does theory hold?")
  abline(v = 0)
}
invisible(dev.off())
cat(sprintf("%s: %d of %d runs drawn, %d predictions\n", out, nrow(valid), nrow(runs), nrow(judged)))
