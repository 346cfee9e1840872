package ticklake.flink;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.dag.Transformation;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Gives every operator of a planned job a uid that stays, so that state fits another parallelism.
 *
 * <p>Flink's own ids follow from the graph: another parallelism chains other operators, another sink
 * moves them all, and a savepoint does not fit any more. A uid here is the operator's name without
 * the planner's number, where that is unique; else the sink that it leads to stands before it.
 */
public final class Uids {

    private Uids() {}

    /** Called by flink_jobs/run.py between planning and submitting. */
    public static void assign(StreamExecutionEnvironment environment) {
        List<List<Transformation<?>>> paths = new ArrayList<>();
        Map<String, Set<Integer>> named = new HashMap<>();
        for (Transformation<?> sink : environment.getTransformations()) {
            List<Transformation<?>> path = new ArrayList<>(sink.getTransitivePredecessors());
            path.remove(sink);
            path.add(0, sink);
            paths.add(path);
            path.forEach(t -> named.computeIfAbsent(name(t), n -> new HashSet<>()).add(t.getId()));
        }
        Map<String, Integer> used = new HashMap<>();
        for (List<Transformation<?>> path : paths) {
            String sink = name(path.get(0));
            for (Transformation<?> operator : path) {
                // The empty sink behind Iceberg's committer, which allows one task, stays in its chain.
                boolean behindOne = operator.getInputs().stream().anyMatch(input -> input.getMaxParallelism() == 1);
                if (operator == path.get(0) && behindOne) {
                    operator.setMaxParallelism(1);
                }
                if (operator.getUid() == null) {
                    boolean unique = named.get(name(operator)).size() == 1;
                    String uid = unique ? name(operator) : sink + " <- " + name(operator);
                    int before = used.merge(uid, 1, Integer::sum);
                    operator.setUid(before == 1 ? uid : uid + " " + before);
                }
            }
        }
    }

    private static String name(Transformation<?> operator) {
        return operator.getName().replaceAll("\\[[0-9]+]", "");
    }
}
