package etl.es;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Map;
import java.util.Set;

import org.elasticsearch.bootstrap.BootstrapInfo;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** Starts one real Elasticsearch node (HTTP on loopback) from Maven Central jars. */
public final class EsLauncher {
    public static void main(String[] args) throws Exception {
        long t0 = System.nanoTime();
        Path home = Path.of(System.getProperty("etl.es.home")).toAbsolutePath();
        String port = System.getProperty("etl.es.port", "9200");
        Path work = Files.createTempDirectory("etl-es-");
        String version = org.elasticsearch.Build.current().version();
        Files.createDirectories(work.resolve("config"));

        Settings.Builder s = Settings.builder()
            .put("cluster.name", "etl-test").put("node.name", "etl-0")
            .put("path.home", home.toString())
            .put("path.data", work.resolve("data").toString())
            .put("path.logs", work.resolve("logs").toString())
            .put("discovery.type", "single-node")
            .put("http.host", "127.0.0.1").put("http.port", port)
            .put("transport.host", "127.0.0.1").put("transport.port", "0")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("action.destructive_requires_name", false);
        System.getProperties().forEach((k, v) -> { // -Des.setting.<name>=<value>
            if (k.toString().startsWith("es.setting.")) s.put(k.toString().substring(11), v.toString());
        });
        LogConfigurator.configureESLogging();
        LogConfigurator.configureWithoutConfig(s.build());
        Environment env = InternalSettingsPreparer.prepareEnvironment(s.build(), Map.of(), work.resolve("config"), () -> "etl-0");
        BootstrapInfo.init();
        PluginsLoader loader = PluginsLoader.createPluginsLoader(modules(env), Set.of(), Map.of(), false);
        Node node = new Node(env, loader);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try { node.close(); } catch (Exception e) { e.printStackTrace(); }
            try (var st = Files.walk(work)) { st.sorted(Comparator.reverseOrder()).forEach(p -> p.toFile().delete()); } catch (Exception e) { /* best effort */ }
        }));
        node.start();
        port = String.valueOf(node.injector().getInstance(org.elasticsearch.http.HttpServerTransport.class).boundAddress().publishAddress().getPort());
        System.out.printf("READY http://127.0.0.1:%s es=%s after %d ms%n", port, version, (System.nanoTime() - t0) / 1_000_000);
        Thread.currentThread().join();
    }

    private static Set<org.elasticsearch.plugins.PluginBundle> modules(Environment env) {
        return PluginsLoader.loadModulesBundles(env.modulesDir(), false);
    }

}
