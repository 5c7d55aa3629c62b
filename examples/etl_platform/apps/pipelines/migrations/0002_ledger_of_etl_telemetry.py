"""Runs are counted by the ledger of etl_telemetry, which has an outbox of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0001_initial'),
    ]

    operations = [
        migrations.DeleteModel(name='RunOutbox'),
        migrations.RemoveIndex(
            model_name='pipelinerun',
            name='run_status',
        ),
        migrations.RemoveField(
            model_name='pipelinerun',
            name='links',
        ),
        migrations.AddIndex(
            model_name='pipelinerun',
            index=models.Index(fields=['pipeline', 'started_at'], include=('status', 'finished_at', 'id'), name='run_window'),
        ),
        migrations.AddIndex(
            model_name='pipelinerun',
            index=models.Index(fields=['pipeline', 'status', 'finished_at'], name='run_last_success'),
        ),
        migrations.AddIndex(
            model_name='pipelinerun',
            index=models.Index(fields=['finished_at'], name='run_ended'),
        ),
        migrations.AddIndex(
            model_name='pipelinerun',
            index=models.Index(condition=models.Q(('status__in', ('pending', 'running'))), fields=['status'], name='run_active'),
        ),
    ]
